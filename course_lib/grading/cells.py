"""What a submitted notebook must not decide for itself; loaded by nbgrader_config.py only."""

from __future__ import annotations

from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import OverwriteCells

__all__ = ["RestoreCells"]


class RestoreCells(OverwriteCells):
    """Put the test cells back as they were released, also where the answers are gone with them.

    nbgrader's own preprocessor restores the text of a test cell and adds one that is missing, but
    it gives up on a notebook whose answer cell is missing too, and it keeps the tags of a cell. One
    of those keeps a cell from being run, and a test that was not run counts as passed.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: ResourcesDict, cell_index: int
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Restore one cell, without the tags that came with it if it is one of nbgrader's."""
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if "nbgrader" in cell.metadata:
            cell.metadata.pop("tags", None)
        return cell, resources

    def add_missing_grade_cells(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Put every missing graded cell behind the nearest one before it that is there."""
        source = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        graded = {cell.name: cell for cell in source.grade_cells}
        answers = {cell.name for cell in source.solution_cells}
        place = -1
        for cell in source.source_cells:
            found = _index(nb, cell.name)
            if found is None and cell.name in graded:
                self.log.warning("Test cell %s is missing, putting it back", cell.name)
                points = graded[cell.name].max_score
                missing = self.missing_cell_transform(cell, points, cell.name in answers)
                found = place + 1
                nb.cells.insert(found, missing)
            place = place if found is None else found
        return nb, resources


def _index(nb: NotebookNode, grade_id: str) -> int | None:
    ids = (cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells)
    return next((i for i, name in enumerate(ids) if name == grade_id), None)
