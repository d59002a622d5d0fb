include { paths = ["../b/b.hcl"] }
