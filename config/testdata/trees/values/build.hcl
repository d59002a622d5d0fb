include { paths = ["a"] }
locals {
  from_a = target["a:a"].tags[0] # ERROR: Reference cycle
}
variable "V" { default = 1 }
target "root" {}
target "here" {
  inherits = ["a:a"]
  tags     = [local.only_a] # ERROR: Unknown local value
}
