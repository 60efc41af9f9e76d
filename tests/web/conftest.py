"""Pages are waited for as long as a slow machine needs; what fails fails a little later."""

from serving import PATIENCE

try:
    from playwright.sync_api import expect
except ImportError:  # the tests of pages are skipped then
    pass
else:
    expect.set_options(timeout=1000 * PATIENCE)
