// Dialogs that send one request, and stay open with the server's error when it fails.

import {ApiError, call, cameraPath} from "/api.js";

function asking(dialog, send) {
  const form = dialog.querySelector("form"), error = dialog.querySelector(".error");
  const submit = dialog.querySelector("[type=submit]");
  const show = (text) => {
    error.hidden = !text;
    error.textContent = text ?? "";
  };
  dialog.querySelector("[data-cancel]")?.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    show(null);
    submit.disabled = true;
    try {
      await send(form, show);
    } finally {
      submit.disabled = false;
    }
  });
  return {
    form,
    open() {
      show(null);
      if (!dialog.open)
        dialog.showModal();
    },
    close: () => dialog.close(),
  };
}

export function addDialog(dialog, done, failed) {
  const asked = asking(dialog, async (form, show) => {
    const name = form.elements.name.value.trim(), url = form.elements.url.value.trim();
    if (!name || !url) {
      show(name ? "Enter the camera's address." : "Enter a name.");
      form.elements[name ? "url" : "name"].focus();
      return;
    }
    try {
      const camera = await call("POST", "cameras", {name, url});
      form.reset();
      asked.close();
      done(camera);
    } catch (error) {
      failed(error, show);
    }
  });
  return asked;
}

export function removeDialog(dialog, done, failed) {
  let name = "";
  const asked = asking(dialog, async (form, show) => {
    try {
      await call("DELETE", cameraPath(name));
      asked.close();
      done(name);
    } catch (error) {
      failed(error, show);
    }
  });
  return {
    open(which) {
      name = which;
      dialog.querySelector("h2").textContent = `Remove ${name}?`;
      asked.open();
    },
  };
}

export function loginDialog(dialog, done) {
  dialog.addEventListener("cancel", (event) => event.preventDefault()); // the page is empty without a login
  const asked = asking(dialog, async (form, show) => {
    try {
      await call("POST", "login", {token: form.elements.token.value});
      form.reset();
      asked.close();
      done();
    } catch (error) {
      if (!(error instanceof ApiError))
        throw error;
      show(error.login ? "Wrong token." : error.message);
      form.elements.token.select();
    }
  });
  return asked;
}
