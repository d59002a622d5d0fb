target "steps" {
  step { run = "x" }                    # ERROR: Missing from
  step { from = "alpine" }
  step {}                               # ERROR: Empty step
  step {
    run = "x"
    cmd = "y"                           # ERROR: Two instructions
  }
  step {
    run      = "x"
    platform = "linux"                  # ERROR: Unknown option
    netwrk   = "none"                   # ERROR: Unknown attribute
  }
  step { run = "" }                     # ERROR: Unsuitable value
  step { run = null }                   # ERROR: Unsuitable value
  step { run = [] }                     # ERROR: Unsuitable value
  step { copy = ["a"] }                 # ERROR: Unsuitable value
  step { cmd = "a\nb" }                 # ERROR: Unsuitable command
  step { env = { A = "a\nb" } }         # ERROR: Line break
  step { env = { "A=" = "a" } }         # ERROR: Invalid key
  step { from = "a b" }                 # ERROR: Invalid reference
  step { from = "target:nope" }         # ERROR: Unknown target
  step {
    from = "alpine"
    as   = "Build"                      # ERROR: Invalid stage name
  }
  step {
    run     = "x"
    network = "bridge"                  # ERROR: Unsuitable value
    mount {                             # ERROR: Unknown mount
      type = "cahce"
    }
    mount {
      type   = "tmpfs"
      source = "x"                      # ERROR: Unknown option
    }
  }
  step {
    healthcheck = "x"
    interval    = "soon"                # ERROR: Unsuitable value
  }
  step {
    copy    = ["/a", "/b"]              # ERROR: Unsuitable value
    content = "x"
  }
  step { env = { A = NOPE } }           # ERROR: Unknown variable
}

target "two" {
  dockerfile = "x"
  step { from = "alpine" }              # ERROR: Two Dockerfiles
}

target "inline" {
  dockerfile        = "x"
  dockerfile-inline = "FROM scratch"    # ERROR: Two Dockerfiles
}
