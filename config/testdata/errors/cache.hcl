cache {
  repository = "registry.example.com/shop/cache:v1"            # ERROR: Unsuitable value
  scopes     = ["main", { name = "x", repo = "y" }]            # ERROR: Unsuitable value
  write      = "perhaps"                                       # ERROR: Unsuitable value
  mode       = "most"                                          # ERROR: Unsuitable value
  scope      = "main"                                          # ERROR: Unknown attribute
}
cache { # ERROR: Duplicate cache
  mode = "min"
}
target "default" {}
