"""Search for settings that train a better classifier: `python code/search.py --help`."""

import sys

from core.command.mistakes import run_command


def main() -> None:
    from core.command.help_topics import show_topics
    from core.search.command import check_command, show_help, topic

    arguments = sys.argv[1:]
    if show_topics(arguments, topic):
        return
    if {"-h", "--help"} & set(arguments):
        show_help()
        return
    config = check_command(arguments)
    from core.search.searching import Search

    Search(config).run()


if __name__ == "__main__":
    run_command(main, "core.command.config:explain_override", doing="search")
