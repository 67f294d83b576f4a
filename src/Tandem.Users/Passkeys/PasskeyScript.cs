namespace Tandem.Users.Passkeys;

/// <summary>
/// The scripts that passkeys take. That of the sign-in page shows the button where there is something behind it, offers passkeys in the e-mail's own list (conditional UI), and sends the form with what the browser has given.
/// </summary>
static class PasskeyScript
{
    // Questions are renewed before they expire: a page may lie open for long.
    public const string Text = """

        (async () => {
          const button = document.getElementById("passkey"), form = button.form, domain = button.dataset.domain, host = location.hostname;
          if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON || host !== domain && !host.endsWith("." + domain)) return;
          button.hidden = false;
          const offers = await PublicKeyCredential.isConditionalMediationAvailable?.();
          let waiting;
          const ask = async (mediation) => {
            waiting?.abort();
            const mine = waiting = new AbortController();
            try {
              const answer = await fetch("auth/passkey/options", { method: "POST", signal: mine.signal });
              if (!answer.ok) return;
              const { handle, options } = await answer.json();
              const credential = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options), mediation, signal: mine.signal });
              for (const [name, value] of Object.entries({ action: "passkey", handle, credential: JSON.stringify(credential) }))
                form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
              document.getElementById("password").value = "";
              HTMLFormElement.prototype.submit.call(form);
            } catch (error) {
              if (error.name !== "AbortError" && error.name !== "NotAllowedError") throw error;
              if (mediation !== "conditional" && waiting === mine) offer();
            }
          };
          let renewal;
          const offer = () => {
            if (!offers) return;
            clearTimeout(renewal);
            renewal = setTimeout(offer, 240000);
            ask("conditional");
          };
          button.addEventListener("click", () => { clearTimeout(renewal); ask("optional"); });
          // One that was just refused is not offered again by itself: a browser that needs no touch would send it for ever.
          if (!("refused" in button.dataset)) offer();
        })();

        """;

    /// <summary>Of the page of a person's passkeys: it shows the form where the browser can make one, and sends with it what the browser has made.</summary>
    public const string Add = """

        (() => {
          const place = document.getElementById("passkey-new"), form = place.querySelector("form"), domain = place.dataset.domain, host = location.hostname;
          if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON || host !== domain && !host.endsWith("." + domain)) return;
          place.hidden = false;
          document.getElementById("no-passkeys").hidden = true;
          form.addEventListener("submit", async (event) => {
            event.preventDefault();
            try {
              const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(place.dataset.options));
              form.elements.credential.value = JSON.stringify(await navigator.credentials.create({ publicKey }));
              HTMLFormElement.prototype.submit.call(form);
            } catch (error) {
              document.getElementById("passkey-failed").hidden = false;
            }
          });
        })();

        """;
}
