"""Human evaluation: a study in one file, its page for raters, and what their ratings say.

`design` says what is asked, `draw` which replies are shown, `assign` who rates which. `store` keeps
them and the ratings in SQLite, `app` is the page and its API, `exchange` takes ratings out and in.
`figures`, `agreement` and `judged` compute what `emotone.report.study` shows.
"""
