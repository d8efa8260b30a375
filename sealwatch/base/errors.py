"""What a command tells its caller instead of a traceback.

UsageError        the call or its configuration is wrong; exit code 2
  SettingsError   a configuration file that can't be used (`sealwatch.base.settings`)
CommandFailed     the job did not succeed; exit code 1
"""


class UsageError(Exception):
    """A command that can't be carried out as called; the message says what to change."""


class CommandFailed(Exception):  # noqa: N818 - the job failed, the program did not
    """The job did not succeed; the message says why and what to do."""
