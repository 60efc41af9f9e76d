"""everyday: replies of machines to its posts, readers' sheets, and the gate of its lines."""
