# Made by Sallyport; what is changed here by hand is undone by the next run.
"""Runs in unbound, before it looks for an answer.

Questions for SVCB and HTTPS records (RFC 9460) find nothing: they bring keys that hide the name of a website from the
gateway (Encrypted Client Hello), and other ways to it. Questions of another class than that of the Internet are
refused: one for any class would not be looked at by the views.

The names in capitals are unbound's own (unboundmodule.py of Debian's python3-unbound).
"""

HIDING = (64, 65)


def init(_id, _config):
    return True


def deinit(_id):
    return True


def inform_super(_id, _state, _super_state, _data):
    return True


def operate(number, event, state, _data):
    if event not in (MODULE_EVENT_NEW, MODULE_EVENT_PASS):
        state.ext_state[number] = MODULE_FINISHED if event == MODULE_EVENT_MODDONE else MODULE_ERROR
    elif state.qinfo.qclass != RR_CLASS_IN:
        state.return_rcode = RCODE_REFUSED
        state.ext_state[number] = MODULE_FINISHED
    elif state.qinfo.qtype in HIDING:
        answer = DNSMessage(state.qinfo.qname_str, state.qinfo.qtype, RR_CLASS_IN, PKT_QR | PKT_RA)
        state.return_rcode = RCODE_NOERROR
        state.ext_state[number] = MODULE_FINISHED if answer.set_return_msg(state) else MODULE_ERROR
    else:
        state.ext_state[number] = MODULE_WAIT_MODULE
    return True
