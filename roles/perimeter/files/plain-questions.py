# Made by Sallyport; what is changed here by hand is undone by the next run.
"""Runs in unbound, before it looks for an answer.

Questions for SVCB and HTTPS records (RFC 9460) find nothing: they bring keys that hide the name of a website from the
gateway (Encrypted Client Hello), and other ways to it. Questions of another class than that of the Internet are
refused: one for any class would not be looked at by the views.

Source: unbound's Python module, https://nlnetlabs.nl/documentation/unbound/
"""

from unboundmodule import (
    MODULE_ERROR,
    MODULE_EVENT_MODDONE,
    MODULE_EVENT_NEW,
    MODULE_EVENT_PASS,
    MODULE_FINISHED,
    MODULE_WAIT_MODULE,
    PKT_QR,
    PKT_RA,
    RCODE_NOERROR,
    RCODE_REFUSED,
    RR_CLASS_IN,
    DNSMessage,
)

HIDING = (64, 65)


def init(_number, _config):
    """Begin; there is nothing to do."""
    return True


def deinit(_number):
    """End; there is nothing to do."""
    return True


def inform_super(_number, _state, _super_state, _data):
    """Take note of a question that came of another; it went through `operate` itself."""
    return True


def operate(number, event, state, _data):
    """Answer a question here, or let the next module look at it.

    Args:
        number: of this module.
        event: what happens to the question.
        state: the question, and what becomes of it.
        _data: of this module, none.

    Returns:
        True: it was looked at.
    """
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
