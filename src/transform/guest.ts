/**
 * What runs inside the sandbox around a script. It keeps what it needs of the language before the script's first line
 * can replace it. The only clock is the time of receipt and there is no randomness: a delivery that is tried again
 * sends the same bytes.
 */
export const PRELUDE = `(function (body, receivedMs) {
  "use strict";
  const { parse, stringify } = JSON;
  const { construct } = Reflect;
  const RealDate = Date;
  const now = () => receivedMs;
  function PinnedDate(...given) {
    if (new.target === undefined) return new RealDate(receivedMs).toString();
    return construct(RealDate, given.length === 0 ? [receivedMs] : given, new.target);
  }
  PinnedDate.prototype = RealDate.prototype;
  RealDate.prototype.constructor = PinnedDate;
  PinnedDate.UTC = RealDate.UTC;
  PinnedDate.parse = RealDate.parse;
  PinnedDate.now = now;
  globalThis.Date = PinnedDate;
  delete Math.random;
  delete globalThis.performance;
  const payload = body === undefined ? undefined : parse(body);
  const before = stringify(payload);
  return function (handler, method, url) {
    if (typeof handler !== "function") return "";
    if (body === undefined) return "handler";
    const made = handler({ method, url, payload, cancel: false });
    if (typeof made !== "object" || made === null)
      throw new TypeError("handler must return the webhook, not " + (made === null ? "null" : typeof made));
    const cancel = made.cancel;
    if (cancel === true) return "cancelled";
    if (cancel !== undefined && cancel !== false) throw new TypeError("webhook.cancel must be true or false");
    const newMethod = made.method;
    const newUrl = made.url;
    if (newMethod !== method && newMethod !== "POST" && newMethod !== "PUT")
      throw new TypeError("webhook.method must be POST or PUT");
    if (typeof newUrl !== "string") throw new TypeError("webhook.url must be a text");
    for (let i = 0; i < newUrl.length; i += 1)
      if (newUrl[i] < "!" || newUrl[i] > "~")
        throw new TypeError("webhook.url holds what must be encoded, at character " + (i + 1));
    const after = stringify(made.payload);
    if (typeof after !== "string") throw new TypeError("webhook.payload must be something that JSON can say");
    return newMethod + "\\n" + newUrl.length + "\\n" + newUrl + (after === before ? "" : after);
  };
})`;

/** Finds what the script has defined, function or constant. */
export const HANDLER = 'typeof handler === "function" ? handler : undefined';
