"""The report of a sweep, in the order in which a reader asks."""

from pathlib import Path

from ebm_exp.files import replace_text, show_path
from ebm_exp.report.behaviour import behaviour, samples
from ebm_exp.report.best import experiment
from ebm_exp.report.jobs import jobs, origin, settings
from ebm_exp.report.matters import matters
from ebm_exp.report.page import join, note, page, tag
from ebm_exp.report.story import Story
from ebm_exp.report.trust import chips, trust
from ebm_exp.report.winner import winner
from ebm_exp.sweep.directory import MOST_KEYS, SweepDirectory
from ebm_exp.sweep.settings import read


def build(folder: Path) -> str:
    """The page of a sweep; beside it ``best.yaml`` is written, once a job has finished."""
    story = Story.of(read(SweepDirectory(folder)))
    results = story.results
    if story.ranked:
        replace_text(folder / "best.yaml", experiment(results, story.ranked[0]))
    name = results.record.get("name") or folder.name
    kind = "search" if results.is_search else "sweep"
    began = str(results.record.get("began") or "").replace("T", " ")
    noted = next((job.config["notes"] for job in results.jobs if job.config.get("notes")), None)
    about = join(
        [
            tag("p", f"{show_path(folder)}{f', begun {began}' if began else ''}"),
            tag("p", str(noted)) if noted else None,
            note(f"Left out: all keys but the first {MOST_KEYS}.") if len(results.keys) == MOST_KEYS else None,
            tag("p", chips(story)),
        ]
    )
    return page(
        f"{name}: {kind} over {', '.join(story.names.values()) or 'seeds'}",
        about,
        winner(story),
        trust(story),
        settings(story),
        matters(story),
        behaviour(story),
        samples(story),
        jobs(story),
        origin(story),
    )
