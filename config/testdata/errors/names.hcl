target "a b" {}        # ERROR: Invalid name
target "twice" {}
target "twice" {}      # ERROR: Duplicate target
group "g" { targets = ["twice"] }
group "g" { targets = [] } # ERROR: Duplicate group
variable "v" {}
variable "v" {}        # ERROR: Duplicate variable

target "m" {
  name   = "m-${k}"     # ERROR: Invalid name
  matrix = { k = ["a", "b c"] }
}

target "dup" {         # ERROR: Duplicate name
  matrix = { k = ["a", "b"] }
}

target "null" {
  name   = null         # ERROR: Invalid name
  matrix = { k = ["a"] }
}

target "plain" {
  name = "x"           # ERROR: Name without a matrix
}

target "bad" {
  matrix = ["a"]       # ERROR: Invalid matrix
}

target "axis" {
  matrix = { k = "a" } # ERROR: Invalid matrix
}
