target "one" {
  contexts = {
    sibling = "target:more"
    other   = "target:b:one"
    own     = "target::one" # ERROR: Dependency cycle
  }
}
