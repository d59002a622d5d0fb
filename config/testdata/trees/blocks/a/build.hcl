pool "tests" { size = 1 }
target "a" { pool = "heavy" }
target "wrong" { pool = "none" } # ERROR: Unknown pool
