locals { here = true }
target "one" {
  tags = [local.there] # ERROR: Unknown local value
  args = { A = X }     # ERROR: Unknown variable
}
