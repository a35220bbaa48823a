"""Which kernel a call takes: `plans` shows it, `tuning` measures what is best on a device.

`tuned_choices` is the file that keeps what was measured (the extension loads it by this name);
`device_work` runs and times a product on a device.
"""
