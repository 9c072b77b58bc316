"""Stage 8: alerts become at most one retrain at a time, whose release is watched and goes back when it is worse.

`service` takes requests, `ledger` remembers them in SQL, `worker` does them one by one, `runner` starts the pipeline,
`watch` judges what was promoted, `champion` moves the alias by the record in `moves`, `checks` measures drift on
demand. Any number of replicas may share one ledger: each takes requests, one at a time works on a retrain, and another
one resumes it when that replica dies (`lease`).
"""
