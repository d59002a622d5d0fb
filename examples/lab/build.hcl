# One Flask application, described twice: by its Dockerfile, and by the same
# four instructions as steps. Both give the same image.

group "default" {
  targets = ["python-hello-world"]
}

group "both" {
  targets = ["python-hello-world", "from-dockerfile"]
}

target "python-hello-world" {
  description = "the application, from steps"
  tags        = ["python-hello-world"]

  step { from = "python:3.8-alpine" }
  step { run = "pip install flask" }
  step { cmd = ["python", "app.py"] }
  step { copy = ["app.py", "/app.py"] }
}

target "from-dockerfile" {
  description = "the application, from its Dockerfile"
  tags        = ["python-hello-world:dockerfile"]
}
