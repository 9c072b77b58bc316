"""Stage 8: alerts become at most one retrain at a time, whose release is watched and goes back when it is worse.

`service` takes requests, `ledger` remembers them in SQL, `worker` does them one by one, `runner` starts the pipeline,
`watch` judges what was promoted. One replica: the ledger would refuse a second one's work, but nobody needs it.
"""
