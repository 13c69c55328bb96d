"""Write every dashboard as the JSON that Grafana reads."""

from __future__ import annotations

from pathlib import Path

from dashboards import engineer, floor
from dashboards.parts import written

FILES = Path(__file__).parents[1] / "helm" / "files" / "dashboards"
ALL = {"floor.json": floor.dashboard, "engineer.json": engineer.dashboard}

if __name__ == "__main__":
    for name, dashboard in ALL.items():
        (FILES / name).write_text(written(dashboard()))
