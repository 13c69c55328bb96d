"""The dashboards, as code: `make dashboards` writes `helm/files/dashboards`."""
