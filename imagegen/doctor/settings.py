"""The settings: wrong, misspelt or forgotten ones, and those that do not fit together."""

from collections.abc import Callable, Iterator

from pydantic import SecretStr

from imagegen.doctor.finding import DoctorFinding, Findings, green, red, yellow
from imagegen.settings import Settings
from imagegen.settings_report import SettingReport, SettingsReport, Source


async def check(report: SettingsReport, read: Callable[[], Settings]) -> Findings:
    """Yield what is wrong with the settings; `read` returns them where nothing is wrong."""
    faulty = [each for each in report.settings if each.fault is not None]
    for setting in faulty:
        yield red(str(setting.fault), _where_to_correct(setting, report))
    for sentence in report.faults:
        yield red(sentence, f"correct one of them {_place(report)}")
    for misspelt in report.misspelt:
        yield yellow(
            f"{misspelt.name} is set and is no setting",
            f"if {misspelt.meant} is meant, which is not set, rename it; else remove it",
        )
    for setting in report.settings:
        if setting.is_placeholder:
            yield yellow(
                f"{setting.set_as} looks like the value of an example",
                f"put the real value there, {_place(report)}",
            )
    if not faulty and not report.faults:
        for finding in _of_settings(read()):
            yield finding
        count = sum(each.is_set for each in report.settings)
        yield green(f"{count} of {len(report.settings)} settings are set, {_sources(report)}")


async def unreadable(error: Exception) -> Findings:
    """Yield that `.env` cannot be read."""
    why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    yield red(
        f".env cannot be read: {why}", "give this user the right to read it, or save it as UTF-8"
    )


def _of_settings(settings: Settings) -> Iterator[DoctorFinding]:
    """Yield what is odd about settings that are right one by one."""
    if settings.slots < settings.all_slots:
        yield yellow(
            f"MAX_CONCURRENT_GENERATIONS leaves {settings.all_slots - settings.slots} of "
            f"{settings.all_slots} slots unused, so hosts idle between two pictures",
            "leave it out: COMFYUI_SLOTS_PER_HOST says how many prompts a host gets",
        )
    if settings.redis_broker_db == settings.redis_result_db:
        yield yellow(
            f"REDIS_BROKER_DB and REDIS_RESULT_DB are both {settings.redis_broker_db}: "
            "queue and live state are in one database, and to empty one empties both",
            "give each a number of its own, the same in bot and worker",
        )
    password = settings.redis_password
    if password is not None and settings.redis.arguments.get("password") != _text(password):
        yield yellow(
            "REDIS_PASSWORD is set and not used, since REDIS_URL is set too and has not this password",
            "write the password into REDIS_URL, or take REDIS_PASSWORD out",
        )
    if settings.pgpassword is not None and settings.database.url.password != _text(
        settings.pgpassword
    ):
        yield yellow(
            "PGPASSWORD is set and not used, since DATABASE_URL has another password",
            "take one of the two out",
        )
    if settings.image_generation_frequency is not None:
        yield yellow(
            "IMAGE_GENERATION_FREQUENCY is set and was never used",
            "remove it: IMAGE_TRIGGER_MIN and IMAGE_TRIGGER_MAX say how often pictures come",
        )


def _text(secret: SecretStr) -> str:
    return secret.get_secret_value()


def _where_to_correct(setting: SettingReport, report: SettingsReport) -> str:
    if setting.source is Source.ENVIRONMENT:
        return "correct it in the environment of the process, which wins over .env"
    return f"{'set' if setting.value is None else 'correct'} it {_place(report)}"


def _place(report: SettingsReport) -> str:
    return f"in {report.env_file or 'the environment or a .env file'}"


def _sources(report: SettingsReport) -> str:
    if report.env_file is None:
        return "all by the environment: there is no .env file here"
    return f"by the environment or {report.env_file}"
