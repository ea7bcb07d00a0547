"""Bad input on the whole path: refused with a reason or counted, nothing lost, nothing stuck, memory bounded."""
