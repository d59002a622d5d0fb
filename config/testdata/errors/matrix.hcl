target "a" {
  matrix = {
    os      = ["l"]
    exclude = [{ so = "l" }] # ERROR: Invalid matrix
  }
  name = "a-${os}"
}

target "b" {
  matrix = {
    os      = ["l"]
    include = { os = "w" } # ERROR: Invalid matrix
  }
  name = "b-${os}"
}

target "c" {
  matrix = {
    os      = ["l"]
    include = ["w"] # ERROR: Invalid matrix
  }
  name = "c-${os}"
}
