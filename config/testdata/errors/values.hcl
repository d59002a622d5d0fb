locals {
  a = local.b
  b = local.a # ERROR: Reference cycle
  c = local.d # ERROR: Unknown local value
  e = self.name # ERROR: Unknown variable
}

target "app" {
  tags  = [self.tags[0]] # ERROR: Reference cycle
  args  = { A = self.nope } # ERROR: Unknown attribute
  labels = { B = self } # ERROR: Invalid reference
  needs = [target.nope, "none", group.all] # ERROR: Unknown target # ERROR: Unknown target # ERROR: Unknown target
  clear = ["tag"] # ERROR: Unknown attribute
}

target "loop" {
  needs = [target.loop] # ERROR: Dependency cycle
}

group "all" {
  targets = [target.app, group.other] # ERROR: Unknown target
}
