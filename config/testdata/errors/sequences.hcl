steps "loop" {
  step { use = "loop2" }
}

steps "loop2" {
  step { use = "loop" }
}

steps "loop2" { # ERROR: Duplicate steps
  step { use = "loop" } # ERROR: Reference cycle
}

steps "odd" {
  args = {} # ERROR: Unknown attribute
}

target "app" {
  step { from = "alpine" }
  step { use = "loop" }
  step { use = "lop" } # ERROR: Unknown steps
  step {
    use = "odd"
    run = "x" # ERROR: Unknown option
  }
  step {
    run  = "x"
    when = "maybe" # ERROR: Unsuitable value
  }
  step {
    run  = "x"
    when = null # ERROR: Unsuitable value
  }
  dynamic "mount" { # ERROR: Unknown block
    for_each = []
    content {}
  }
  dynamic "step" {
    for_each = "x" # ERROR: Unsuitable value
    content { run = "x" }
  }
  dynamic "step" { # ERROR: Invalid dynamic block
    for_each = []
  }
  dynamic "step" { # ERROR: Missing attribute
    content { run = "x" }
  }
  dynamic "step" {
    for_each = ["a"]
    content { run = stp.value } # ERROR: Unknown variable
  }
}

target "many" {
  step { from = "alpine" }
  dynamic "step" {
    for_each = range(1000)
    content { use = "six" }
  }
}

steps "six" {
  dynamic "step" {
    for_each = range(6)
    content { run = "x" } # ERROR: Too many steps
  }
}

target "none" {
  step { # ERROR: Missing from
    from = "alpine"
    when = false
  }
}
