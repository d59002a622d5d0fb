target "a" {
  tag = [] # ERROR: Unknown attribute
}
