"""What people hand over: pictures, sounds, series, arrays, folders of them."""
