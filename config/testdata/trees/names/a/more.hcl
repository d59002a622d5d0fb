target "one" {} # ERROR: Duplicate target
target "more" {}
