pool "heavy" {
  size = 0 # ERROR: Unsuitable value
}
pool "light" {
  sise = 1 # ERROR: Unknown attribute
  size = 1
}
pool "none" {} # ERROR: Missing attribute
pool "heavy" { # ERROR: Duplicate pool
  size = 1
}
target "a" {
  pool = "havy" # ERROR: Unknown pool
  resources {
    cpus   = 2      # ERROR: Unknown attribute
    memory = "much" # ERROR: Unsuitable value
  }
  resources { # ERROR: Duplicate block
    cpu = 1
  }
}
target "b" {
  resources {
    cpu = -1 # ERROR: Unsuitable value
  }
}
template "t" {
  resources {
    cpu = "many" # ERROR: Unsuitable value
  }
}
target "c" {
  template = "t"
}
