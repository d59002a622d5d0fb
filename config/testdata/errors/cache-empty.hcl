cache { # ERROR: Missing attribute
  scopes = ["main"]
}
target "default" {}
