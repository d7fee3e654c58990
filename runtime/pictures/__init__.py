"""Picture files to pixels: folders of them, decoding with care, and one exact way of resizing."""
