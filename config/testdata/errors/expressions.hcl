variable "A" {
  default = B
}

variable "B" {
  default = "${A}x" # ERROR: Reference cycle
}

variable "N" {
  type    = number
  default = "x" # ERROR: Unsuitable default
}

variable "PORT" {
  default = 70000
  validation {
    condition     = PORT < 65536 # ERROR: Validation failed
    error_message = "PORT is too large."
  }
}

function "twice" {
  params = [x]
  result = upper(NOPE) # ERROR: Unknown variable
}

target "app" {
  tag  = ["a"]                  # ERROR: Unknown attribute
  tags = [uper("a"), "${TAG}"]  # ERROR: Unknown function # ERROR: Unknown variable
  args = {
    A = target.bas.args.X        # ERROR: Unknown target
    B = target.base.arg          # ERROR: Unknown attribute
  }
  labels = { a = ["list"] }      # ERROR: Unsuitable value
  pull   = 5                     # ERROR: Unsuitable value
  output = ["type=local", null]  # ERROR: Unsuitable value
  stage "x" {}                   # ERROR: Unknown block
}

target "base" {
  context = target.base.context  # ERROR: Reference cycle
}

targt "x" {}                     # ERROR: Unknown block
