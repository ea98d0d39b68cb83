// Small repairs of the theme's and docutils' markup, which screen readers would stumble over.
document.addEventListener("DOMContentLoaded", () => {
  const each = (selector, repair) => document.querySelectorAll(selector).forEach(repair);
  each("#pst-primary-sidebar", sidebar => {
    sidebar.setAttribute("role", "complementary");
    sidebar.setAttribute("aria-label", "Book");
  });
  // These labels hide the visible words.
  each(".search-button-field, details > summary", element => element.removeAttribute("aria-label"));
  each(".citation-list, .citation", element => element.removeAttribute("role"));
  // Font Awesome swaps the icons in later, each with a <title> that would be read aloud.
  each(".theme-switch-button", button => {
    const hush = () => button.querySelectorAll("[title], title").forEach(
      element => element.localName === "title" ? element.remove() : element.removeAttribute("title"));
    hush();
    new MutationObserver(hush).observe(button, { childList: true, subtree: true });
  });
});
