"""The worker: from a request's row to the photo in the chat.

In reading order:

cli         the `imagegen` command
worker      builds and owns every long-lived thing; arq starts here
settings    environment → frozen Settings
job         make_image, the whole story from top to bottom
lease       a dead worker's job runs again within seconds
quarantine  requests under which workers die run one at a time
relay       a request whose doorbell never rang is rung for again
stop        the worker ends in good order when asked to; reach gets at a job that waits
probes      what orchestrators may ask; schema is the database's part, web the pages
requests    what a job writes to a row; life says which state may follow which, fence whose write counts,
            ledger holds the sends; watermark, claimed, transactions, tables, database
workflows   loads, checks and binds the persona workflows; places, links, graphs, shapes, weights
director    what is drawn for a request, how far it may go; audit notes what the screen found
reuse       a picture that was drawn before is not drawn again; seeds, covers; tally counts in the log
prompts     who is drawn, in what scene; rehearsal shows it for a dialog file
safety      what is never drawn, and for whom what may be
comfy       one ComfyUI host, and the pool that lends slots on many
pictures    is it a picture; images is where it is kept
delivery    how it reaches the chat
broker      Redis as the worker needs it; live is what is told through it
sandbox     everything real that a laptop lacks, and the demo
"""
