"""What must hold. A proof that hangs says where it stands when it is sent SIGABRT."""

import faulthandler

if not faulthandler.is_enabled():  # pytest has its own
    faulthandler.enable()
