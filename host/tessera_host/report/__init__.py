"""Reports for people who answer for privacy: a document of plain parts (document.py), its content (annex.py), and two
renderers (html.py, pdf.py). Needs the extra `report`; imported only when a report is wanted."""
