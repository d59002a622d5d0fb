include { paths = ["a", "b"] }
cache { repository = "registry.example.com/shop/cache" }
pool "heavy" { size = 2 }
target "default" { pool = "tests" }
