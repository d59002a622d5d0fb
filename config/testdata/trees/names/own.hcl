target "app" {} # ERROR: Duplicate target

group "all" { # ERROR: Duplicate group
  targets = ["app"]
}
