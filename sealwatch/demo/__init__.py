"""The whole chain on one machine: broker, meter, service, agent and the telephones of two people.

`stage` starts and stops the programs, `people` receives their pages, `story` tells what happens, `cli` is the command.
The agent and the service run as processes of their own, as they do in the field; the kill tests use the same stage.
"""
