include { paths = ["a", "b", "a/more.hcl", "own.hcl"] }

target "app" {
  contexts = {
    one  = "target:one" # ERROR: Ambiguous name
    two  = "target:a:one"
    none = "target:c:one" # ERROR: Unknown target
    nine = "target:a:nine" # ERROR: Unknown target
  }
  tags     = [target["a:one"].tag] # ERROR: Unknown attribute
  inherits = ["one"]               # ERROR: Ambiguous name
}

target "two" {
  needs = ["app", target.three, target.one] # ERROR: Ambiguous name
  tags  = [target.one.context]              # ERROR: Ambiguous name
}

target "three" {
  step { from = "target:one" } # ERROR: Ambiguous name
  step {
    copy = ["a", "b"]
    from = "target:../a:x" # ERROR: Unsuitable path
  }
}

group "all" {
  targets = ["one"] # ERROR: Ambiguous name
}
