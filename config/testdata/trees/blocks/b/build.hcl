cache { # ERROR: Misplaced cache
  repository = "registry.example.com/b/cache"
}
pool "heavy" { size = 9 } # ERROR: Duplicate pool
target "b" { pool = "tests" }
