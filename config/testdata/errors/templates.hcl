template "service" {
  params = { port = number, name = optional(string, "x") }
  matrix = {} # ERROR: Unknown attribute
  args   = { P = param.prt } # ERROR: Unsupported attribute
}

template "odd" {
  params = { port = nmber } # ERROR: Invalid type specification
}

target "a" {
  template = "service" # ERROR: Unsuitable parameter
}

target "b" {
  template = "service"
  with     = { port = "x" } # ERROR: Unsuitable parameter
}

target "c" {
  template = "service"
  with     = { port = 1, nam = "x" } # ERROR: Unknown parameter
}

target "d" {
  template = "servce" # ERROR: Unknown template
}

target "e" {
  with = {} # ERROR: Missing attribute
}

target "f" {
  template = "service"
  with     = [] # ERROR: Unsuitable value
}

target "g" {
  template = "odd"
}

target "h" {
  template = "service"
  with     = { port = 1 }
}
