"""The program `amp-respond`: hunts, isolates, blocks, and takes it back.

The way of a change, from the command line to the table at its end::

    cli, options        what is asked for (`Doing`)
    tasks, undo         which computers or files are meant (`select`), and what is to be done to each (`Action`)
    doing               it is shown and agreed to, as far as `brakes` ask for it, and done one by one
    attempt             one of them: seen (`ready`, `refusals`), written down (`journal`, `entries`), done (`actions`,
                        `comments`), and written down again
    waiting             until isolations are in the states that were asked for
    results             what became of each (`Result`) is told

`hunts` and `vulnerable` only look.  `shipping` sends the journal's entries to the plugin's servers.
"""
