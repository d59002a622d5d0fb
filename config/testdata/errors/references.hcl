target "app" {
  inherits = ["base", "bse"] # ERROR: Unknown target
  contexts = {
    base = "target:bsae" # ERROR: Unknown target
    ok   = "target:base"
  }
}

target "base" {}

target "one" {
  contexts = {
    x = "target:two" # ERROR: Dependency cycle
  }
}

target "two" {
  contexts = { x = "target:one" }
}

target "self" {
  contexts = { x = "target:self" } # ERROR: Dependency cycle
}

target "child" {
  inherits = ["parent"]
}

target "parent" {
  inherits = ["child"] # ERROR: Inheritance cycle
}

group "all" {
  targets = ["app", "nope"] # ERROR: Unknown target
}
