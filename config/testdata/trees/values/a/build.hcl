locals {
  only_a = 1
  circle = local.from_a
}
target "a" {
  tags = [local.circle]
  args = { F = file("missing.txt") } # ERROR: Error in function call
}
